# One source, two targets: a corpus for each version.
foreach(version 1 2)
  mi_fuzz(remote_write_v${version} base model codec codec_testing SOURCE remote_write_fuzz.cc)
  target_compile_definitions(remote_write_v${version}_fuzz PRIVATE MI_FUZZ_SCHEMA=kV${version})
endforeach()
