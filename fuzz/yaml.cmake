mi_fuzz(yaml base config)
