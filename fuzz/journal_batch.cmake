mi_fuzz(journal_batch base model codec codec_testing)
