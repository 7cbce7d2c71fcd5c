mi_fuzz(identity base model model_testing)
