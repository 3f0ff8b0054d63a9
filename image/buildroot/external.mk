include $(sort $(wildcard $(BR2_EXTERNAL_WARDGATE_PATH)/package/*/*.mk))
