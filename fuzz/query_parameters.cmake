mi_fuzz(query_parameters base model net query web)
