# Settings that are the same for every target: language level, warnings, hardening, sanitizers.

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

set(MI_SANITIZE "" CACHE STRING "Sanitizers to build with: empty, 'address,undefined' or 'thread'")
option(MI_FUZZ "Build the libFuzzer targets (needs clang)" OFF)
option(MI_WARNINGS_AS_ERRORS "Treat warnings as errors" ON)

find_program(MI_CCACHE ccache)
if(MI_CCACHE)
  # ccache needs the sloppiness to cache files that use a precompiled header. The base folder lets several clones share.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${MI_CCACHE})
endif()

# No -Wmissing-field-initializers: designated initialisers leave members at their defaults on purpose.
add_compile_options(-Wall -Wextra -Wno-missing-field-initializers -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wcast-align
                    -Wimplicit-fallthrough -Wextra-semi -Wvla -fno-omit-frame-pointer)
if(MI_WARNINGS_AS_ERRORS)
  add_compile_options(-Werror)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  add_compile_options(-Wthread-safety -Wthread-safety-beta)
else()
  add_compile_options(-Wduplicated-cond -Wlogical-op -fpch-preprocess)
  if(CMAKE_UNITY_BUILD)
    add_compile_options(-Wno-subobject-linkage)  # in a batch, GCC takes a source file with an unnamed namespace for a header
  endif()
endif()

# A prefix for test names that tells the builds apart, because one ctest runs the tests of several builds.
string(REGEX MATCH "^[a-z]+" MI_FLAVOUR "${MI_SANITIZE}")
if(MI_FLAVOUR)
  string(TOUPPER ${MI_FLAVOUR} sanitized)
  add_compile_definitions(MI_SANITIZES_${sanitized})  # for tests that cannot run under this sanitizer
  string(APPEND MI_FLAVOUR ":")
endif()

if(MI_SANITIZE)
  add_compile_options(-fsanitize=${MI_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${MI_SANITIZE})
endif()
if(MI_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
  add_link_options(-fsanitize=address,undefined)
endif()

if(CMAKE_BUILD_TYPE STREQUAL "Release")
  set(CMAKE_INTERPROCEDURAL_OPTIMIZATION ON)
  add_compile_options(-g1 -fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -D_GLIBCXX_ASSERTIONS)
  add_link_options(-Wl,-z,relro,-z,now -pie)
endif()

find_program(MI_MOLD mold)
if(MI_MOLD AND NOT CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT MI_FUZZ)
  add_link_options(-fuse-ld=mold)
endif()
