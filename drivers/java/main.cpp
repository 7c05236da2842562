// SPDX-License-Identifier: Apache-2.0
#include "drivers/java/java_driver.h"
#include "drover/serve.h"

int main(int argc, char** argv) {
    return drover::sdk::serve<drover::drivers::JavaDriver>(argc, argv);
}
