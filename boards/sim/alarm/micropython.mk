# MicroPython's unix port: make finds this file below USER_C_MODULES.
SRC_USERMOD_C += $(USERMOD_DIR)/alarm.c
