# SPDX-License-Identifier: Apache-2.0
# find_package(DroverPluginSDK): the target Drover::PluginSDK, all that a driver or device plugin links. Needs the Debian
# packages libgrpc++-dev, libprotobuf-dev, libfmt-dev and libexpected-dev.
include(CMakeFindDependencyMacro)
find_dependency(Threads)
find_dependency(fmt)
find_dependency(PkgConfig)
include(${CMAKE_CURRENT_LIST_DIR}/DroverGrpc.cmake)
get_filename_component(drover_sdk_prefix ${CMAKE_CURRENT_LIST_DIR}/../../.. ABSOLUTE)
if(NOT TARGET Drover::PluginSDK)
  add_library(Drover::PluginSDK STATIC IMPORTED)
  set_target_properties(Drover::PluginSDK PROPERTIES
    IMPORTED_LOCATION ${drover_sdk_prefix}/lib/libdrover_plugin_sdk.a
    INTERFACE_INCLUDE_DIRECTORIES ${drover_sdk_prefix}/include
    INTERFACE_COMPILE_FEATURES cxx_std_20
    INTERFACE_LINK_LIBRARIES "fmt::fmt;drover_grpc;Threads::Threads")
endif()
