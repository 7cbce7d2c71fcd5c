# mi_room(NAME [DEPS room...] [LIBS target...])
#
# One library target a room: mi_<name>, from every *.cc of the calling folder but tests and benchmarks, which become
# <name>_test and <name>_bench; those that need a real service (*_service_test.cc) become <name>_service_test; what only
# tests and fuzz targets stand on (*_testing.cc) becomes mi_<name>_testing. A room's headers are
# reachable as "<name>/x.h" only by the rooms that list it in DEPS: each room has an include folder of its own (a link in the
# build tree), so the rooms' table is enforced by the compiler.
# LIBS are the third-party libraries confined to the room; they are not passed on.

set(MI_PCH_HEADERS <algorithm> <array> <atomic> <chrono> <cstdint> <cstring> <expected> <functional> <map> <memory>
    <mutex> <optional> <span> <string> <string_view> <unordered_map> <utility> <variant> <vector>)

set(MI_THREADED_ROOMS base dedupe stream index catalog net receive telemetry config web forward)

add_custom_target(benches)

# Libraries share the precompiled header of one of them, tests that of another: it takes longer to make than most units. Those
# that compile with definitions of their own (spdlog's) make their own.
function(mi_precompile target owner)
  if(target STREQUAL owner OR NOT TARGET ${owner} OR target MATCHES "telemetry|query")
    target_precompile_headers(${target} PRIVATE ${ARGN})
  else()
    target_precompile_headers(${target} REUSE_FROM ${owner})
  endif()
endfunction()

function(mi_room name)
  cmake_parse_arguments(ROOM "" "" "DEPS;LIBS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS *.cc)
  set(tests ${sources})
  set(benches ${sources})
  set(service_tests ${sources})
  set(testing ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(FILTER tests EXCLUDE REGEX "_service_test\\.cc$")
  list(FILTER service_tests INCLUDE REGEX "_service_test\\.cc$")
  list(FILTER benches INCLUDE REGEX "_bench\\.cc$")
  list(FILTER testing INCLUDE REGEX "_testing\\.cc$")
  list(FILTER sources EXCLUDE REGEX "_(test|bench|testing)\\.cc$|/main\\.cc$")

  set(view ${CMAKE_BINARY_DIR}/include/${name})
  file(MAKE_DIRECTORY ${view})
  file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${view}/${name} SYMBOLIC)

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

  if(testing AND BUILD_TESTING)
    add_library(mi_${name}_testing STATIC ${testing})
    target_link_libraries(mi_${name}_testing PUBLIC mi_${name} PRIVATE ${ROOM_LIBS})
    mi_precompile(mi_${name}_testing mi_base ${MI_PCH_HEADERS})
  endif()

  # ThreadSanitizer runs where threads meet.
  set(tested ${BUILD_TESTING})
  if(MI_FUZZ OR (MI_SANITIZE STREQUAL "thread" AND NOT name IN_LIST MI_THREADED_ROOMS))
    set(tested OFF)
  endif()
  if(tested AND tests)
    mi_test(${name}_test ${tests})
    target_link_libraries(${name}_test PRIVATE $<TARGET_NAME_IF_EXISTS:mi_${name}_testing> mi_${name} ${ROOM_LIBS})
  endif()
  if(tested AND service_tests AND NOT MI_SANITIZE STREQUAL "thread")
    mi_service_test(${name}_service_test ${service_tests})
    target_link_libraries(${name}_service_test PRIVATE mi_${name} ${ROOM_LIBS})
  endif()
  if(benchmark_FOUND AND benches)
    add_executable(${name}_bench EXCLUDE_FROM_ALL ${benches})
    set_target_properties(${name}_bench PROPERTIES UNITY_BUILD OFF)
    target_link_libraries(${name}_bench PRIVATE mi_${name} ${ROOM_LIBS} benchmark::benchmark_main)
    add_dependencies(benches ${name}_bench)
  endif()
endfunction()

# Tests are compiled without optimisation: a sanitizer's build of them takes a third of the time, and the rooms' own units are optimised.
function(mi_compile_test target)
  target_compile_options(${target} PRIVATE -O0)
  target_compile_definitions(${target} PRIVATE MI_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  target_link_libraries(${target} PRIVATE GTest::gmock GTest::gtest_main)
  mi_precompile(${target} base_test ${MI_PCH_HEADERS} <gmock/gmock.h> <gtest/gtest.h>)
endfunction()

# A GoogleTest binary whose cases become tests of their own, so that they run in parallel.
function(mi_test name)
  add_executable(${name} ${ARGN})
  mi_compile_test(${name})
  include(GoogleTest)
  gtest_discover_tests(${name} TEST_PREFIX "${MI_FLAVOUR}${name}." DISCOVERY_MODE PRE_TEST PROPERTIES TIMEOUT 300)
endfunction()

# One test for ctest, whatever its cases: they share the services that it starts. Skipped, and said so, where one is not installed.
function(mi_service_test name)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE mi_real_service)
  mi_compile_test(${name})
  add_test(NAME ${MI_FLAVOUR}${name} COMMAND ${name})
  set_tests_properties(${MI_FLAVOUR}${name} PROPERTIES TIMEOUT 600 SKIP_REGULAR_EXPRESSION "REAL SERVICE MISSING")
endfunction()
