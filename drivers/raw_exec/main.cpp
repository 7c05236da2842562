// SPDX-License-Identifier: Apache-2.0
#include "drivers/raw_exec/raw_exec_driver.h"
#include "drover/serve.h"

int main(int argc, char** argv) { return drover::sdk::serve<drover::drivers::RawExecDriver>(argc, argv); }
