// SPDX-License-Identifier: Apache-2.0
// Precompiled header of the rooms that talk: std + Asio + protobuf + the model's messages.
#pragma once
#include "pch_std.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <google/protobuf/message.h>

#include "proto/cluster/cluster.pb.h"
#include "proto/model/model.pb.h"
