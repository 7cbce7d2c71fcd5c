mi_fuzz(web_file base config)
