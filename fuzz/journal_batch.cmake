mi_fuzz(journal_batch base model codec)
