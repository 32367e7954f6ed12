#!/usr/bin/env bash
# What must be there before Airflow and the model server start. Safe to run again.
#   init.sh MODEL_CONFIG_FILE
set -euo pipefail
models=$1

airflow db migrate
# The pool that dags/models/_defaults.yaml names; a task of a pool that is not there never starts.
airflow pools get slipway >/dev/null 2>&1 || airflow pools set slipway 2 "Slipway's builds"

# Airflow's simple auth manager keeps passwords as they are, in this file.
(
  umask 077
  python - "$AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE" <<'PYTHON'
import json, os, pathlib, sys
pathlib.Path(sys.argv[1]).write_text(json.dumps({"admin": os.environ["AIRFLOW_ADMIN_PASSWORD"]}))
PYTHON
)

# The rollouts write this file and the model server polls it; there must be one from the start.
[ -e "$models" ] || echo 'model_config_list {}' >"$models"
