"""How a published version takes over: canary, probes, promotion, rollback, evidence."""
