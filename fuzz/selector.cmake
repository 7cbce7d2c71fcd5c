mi_fuzz(selector base model query)
