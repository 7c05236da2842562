// SPDX-License-Identifier: Apache-2.0
// Logging of a plugin. serve() has it set up: each call is one line of JSON on stderr in hclog's form, written by one
// write(2), which a host shows in its own log under the plugin's name and with the level given here:
//   drover::log::info("script", "task started", {{"task", id}, {"pid", pid}});
// Any thread. Nothing blocks and nothing is lost to the plugin when the host has died: the line is.
// Standard output belongs to the handshake: never print to it.
#pragma once
#include "base/log.h"
