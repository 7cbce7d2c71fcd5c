mi_fuzz(kafka_record base model codec)
