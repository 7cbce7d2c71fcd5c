mi_fuzz(opentsdb base model codec)
