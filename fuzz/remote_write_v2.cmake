mi_fuzz(remote_write_v2 base model codec)
