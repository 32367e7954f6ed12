#!/usr/bin/env bash
# What must be there before Airflow and the model server start. Safe to run again.
#   init.sh MODEL_CONFIG_FILE
set -euo pipefail
models=$1

airflow db migrate

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
