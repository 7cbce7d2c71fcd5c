mi_fuzz(envelope base model codec)
