# mi_room(NAME [DEPS room...] [LIBS target...])
#
# Declares one room of the table in ARCHITECTURE.md. Every .cc file below the calling folder belongs to one target, by its name:
#   *_service_test.cc     <name>_service_test   tests that need a real service
#   *_test.cc             <name>_test           tests
#   *_bench.cc            <name>_bench          benchmarks
#   testing/*.cc          mi_<name>_testing     fakes, fixtures, oracles and encoders for tests, fuzz targets and tools
#   main.cc               (none)                the caller adds the executable
#   all others            mi_<name>             the room
# DEPS: the rooms whose headers this room may include. Each room's headers are reachable as "<name>/x.h" through an include folder
# of its own (a link in the build tree), so the compiler enforces the table.
# LIBS: the third-party libraries that are confined to this room. They are not passed on.

set(MI_PCH_HEADERS <algorithm> <array> <atomic> <chrono> <cstdint> <cstring> <expected> <functional> <map> <memory>
    <mutex> <optional> <span> <string> <string_view> <unordered_map> <utility> <variant> <vector>)

set(MI_THREADED_ROOMS base access dedupe stream index catalog net receive telemetry config web forward)

add_custom_target(benches)

# All libraries share one precompiled header and all tests share another, because making one takes longer than compiling most
# units. Rooms that compile with flags of their own (the profiler's, RE2's) make their own.
function(mi_precompile target owner)
  if(target STREQUAL owner OR NOT TARGET ${owner} OR target MATCHES "telemetry|query")
    target_precompile_headers(${target} PRIVATE ${ARGN})
  else()
    target_precompile_headers(${target} REUSE_FROM ${owner})
  endif()
endfunction()

function(mi_room name)
  cmake_parse_arguments(ROOM "" "" "DEPS;LIBS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS *.cc)
  set(tests ${sources})
  set(benches ${sources})
  set(service_tests ${sources})
  set(testing ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(FILTER tests EXCLUDE REGEX "_service_test\\.cc$")
  list(FILTER service_tests INCLUDE REGEX "_service_test\\.cc$")
  list(FILTER benches INCLUDE REGEX "_bench\\.cc$")
  list(FILTER testing INCLUDE REGEX "/testing/|_testing\\.cc$")
  list(FILTER testing EXCLUDE REGEX "_(test|bench)\\.cc$")
  list(FILTER sources EXCLUDE REGEX "_(test|bench|testing)\\.cc$|/testing/|/main\\.cc$")

  set(view ${CMAKE_BINARY_DIR}/include/${name})
  file(MAKE_DIRECTORY ${view})
  file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${view}/${name} SYMBOLIC)

  set(testing_of_deps ${ROOM_DEPS})
  list(TRANSFORM testing_of_deps REPLACE "(.+)" "$<TARGET_NAME_IF_EXISTS:mi_\\1_testing>")
  list(TRANSFORM ROOM_DEPS PREPEND mi_)
  if(sources)
    add_library(mi_${name} STATIC ${sources})
    target_include_directories(mi_${name} PUBLIC ${view})
    target_link_libraries(mi_${name} PUBLIC ${ROOM_DEPS} Threads::Threads PRIVATE ${ROOM_LIBS})
    mi_precompile(mi_${name} mi_base ${MI_PCH_HEADERS})
  else()
    add_library(mi_${name} INTERFACE)
    target_include_directories(mi_${name} INTERFACE ${view})
    target_link_libraries(mi_${name} INTERFACE ${ROOM_DEPS} Threads::Threads)
  endif()

  if(testing)
    add_library(mi_${name}_testing STATIC EXCLUDE_FROM_ALL ${testing})
    target_link_libraries(mi_${name}_testing PUBLIC mi_${name} ${testing_of_deps} PRIVATE ${ROOM_LIBS})
    mi_precompile(mi_${name}_testing mi_base ${MI_PCH_HEADERS})
  endif()

  # ThreadSanitizer tests only the rooms in which several threads meet.
  set(tested ${BUILD_TESTING})
  if(MI_FUZZ OR (MI_SANITIZE STREQUAL "thread" AND NOT name IN_LIST MI_THREADED_ROOMS))
    set(tested OFF)
  endif()
  set(tested_with $<TARGET_NAME_IF_EXISTS:mi_${name}_testing> ${testing_of_deps} mi_${name} ${ROOM_LIBS})
  if(tested AND tests)
    mi_test(${name}_test ${tests})
    target_link_libraries(${name}_test PRIVATE ${tested_with})
  endif()
  if(tested AND service_tests AND NOT MI_SANITIZE STREQUAL "thread")
    mi_service_test(${name}_service_test ${service_tests})
    target_link_libraries(${name}_service_test PRIVATE ${tested_with})
  endif()
  if(benchmark_FOUND AND benches)
    add_executable(${name}_bench EXCLUDE_FROM_ALL ${benches})
    set_target_properties(${name}_bench PROPERTIES UNITY_BUILD OFF)
    target_link_libraries(${name}_bench PRIVATE ${tested_with} benchmark::benchmark_main)
    add_dependencies(benches ${name}_bench)
  endif()
endfunction()

# Tests are compiled without optimisation: under a sanitizer this takes a third of the time. The rooms themselves are optimised.
function(mi_compile_test target)
  target_compile_options(${target} PRIVATE -O0)
  # GCC takes the if-else inside GoogleTest's macros for one that a reader could misread.
  target_compile_options(${target} PRIVATE -Wno-dangling-else)
  target_compile_definitions(${target} PRIVATE MI_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  target_link_libraries(${target} PRIVATE GTest::gmock GTest::gtest_main)
  mi_precompile(${target} base_test ${MI_PCH_HEADERS} <gmock/gmock.h> <gtest/gtest.h>)
endfunction()

# The folder of temporary files (testing::TempDir) of this build's tests. The same test of another build may run at the same time.
set(MI_TEST_TMPDIR ${CMAKE_BINARY_DIR}/test-files)
file(MAKE_DIRECTORY ${MI_TEST_TMPDIR})

# A GoogleTest binary. Each of its cases becomes a test of ctest, so the cases run in parallel.
function(mi_test name)
  add_executable(${name} ${ARGN})
  mi_compile_test(${name})
  include(GoogleTest)
  gtest_discover_tests(${name} TEST_PREFIX "${MI_FLAVOUR}${name}." DISCOVERY_MODE PRE_TEST
    PROPERTIES TIMEOUT 300 ENVIRONMENT TEST_TMPDIR=${MI_TEST_TMPDIR})
endfunction()

# A GoogleTest binary that is one test for ctest, because its cases share the services that it starts. If a service is not
# installed, the test is skipped and the summary says so.
function(mi_service_test name)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE mi_real_service)
  mi_compile_test(${name})
  add_test(NAME ${MI_FLAVOUR}${name} COMMAND ${name})
  set_tests_properties(${MI_FLAVOUR}${name} PROPERTIES TIMEOUT 600 ENVIRONMENT TEST_TMPDIR=${MI_TEST_TMPDIR}
    SKIP_REGULAR_EXPRESSION "REAL SERVICE MISSING")
endfunction()
