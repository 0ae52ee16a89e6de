# No logic here: each target is a task of tools/tasks.py.
.PHONY: help setup check test demo bench fmt
help setup check test demo bench fmt:
	@python3 tools/tasks.py $@
