# SPDX-License-Identifier: Apache-2.0
# At install: the public headers, with what they use of other rooms below drover/ too, so that an author's own "base/"
# clashes with nothing. Needs DROVER_SOURCE.
set(to $ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}/include/drover)
file(GLOB headers RELATIVE ${DROVER_SOURCE}/plugin-sdk/include/drover ${DROVER_SOURCE}/plugin-sdk/include/drover/*.h)
list(TRANSFORM headers REPLACE "(.+)" "plugin-sdk/include/drover/\\1>\\1")
list(APPEND headers "lib/base/result.h>base/result.h"
     "lib/base/log.h>base/log.h" "lib/cgroup/cgroup.h>cgroup/cgroup.h")
foreach(pair ${headers})
  string(REPLACE ">" ";" pair ${pair})
  list(GET pair 0 from)
  list(GET pair 1 name)
  file(READ ${DROVER_SOURCE}/${from} text)
  string(REGEX REPLACE "#include \"(base|cgroup)/" "#include \"drover/\\1/" text "${text}")
  message(STATUS "Installing: ${to}/${name}")
  file(WRITE ${to}/${name} "${text}")
endforeach()
