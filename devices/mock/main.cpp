// SPDX-License-Identifier: Apache-2.0
#include "devices/mock/mock_device.h"
#include "drover/serve.h"

int main(int argc, char** argv) {
    return drover::sdk::serve<drover::devices::MockDevice>(argc, argv);
}
