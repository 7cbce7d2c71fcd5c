mi_fuzz(snappy_decoder base model codec codec_testing)
