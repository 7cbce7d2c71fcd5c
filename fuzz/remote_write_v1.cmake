mi_fuzz(remote_write_v1 base model codec)
