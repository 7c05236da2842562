// SPDX-License-Identifier: Apache-2.0
// serve(): the main() of a plugin:
//   int main(int argc, char** argv) { return drover::sdk::serve<MyDriver>(argc, argv); }
// Does the handshake, serves the protocol on a private unix socket and returns the exit status when the host asks the
// process to end. Run by hand in a shell it says what it is and returns 1. Never touches tasks on its way out.
#pragma once
#include <memory>
#include <type_traits>

#include "drover/device.h"
#include "drover/driver.h"

namespace drover::sdk {

int serve_driver(int argc, char** argv, std::unique_ptr<Driver> driver);
int serve_device(int argc, char** argv, std::unique_ptr<DevicePlugin> device);

template <class P>
int serve(int argc, char** argv) {
    if constexpr (std::is_base_of_v<DevicePlugin, P>) {
        return serve_device(argc, argv, std::make_unique<P>());
    } else {
        return serve_driver(argc, argv, std::make_unique<P>());
    }
}

}  // namespace drover::sdk
