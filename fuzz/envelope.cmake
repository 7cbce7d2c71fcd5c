mi_fuzz(envelope base model codec codec_testing)
