// SPDX-License-Identifier: Apache-2.0
#include "agent/grpc_threads.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/byte_buffer.h>

namespace drover::agent {
namespace {

// A channel without credentials is one that refuses each call; it takes part in the callback threads from its
// first call on. All of it is kept for ever.
struct Pin {
    grpc::GenericStub stub{grpc::CreateChannel("", nullptr)};
    grpc::ClientContext context;
    grpc::Slice nothing;
    grpc::ByteBuffer request{&nothing, 1}, response;

    Pin() {
        stub.UnaryCall(&context, "/drover/none", grpc::StubOptions(), &request, &response,
                       [](const grpc::Status&) {});
    }
};

}  // namespace

void keep_grpc_threads() {
    [[maybe_unused]] static const Pin* const pin = new Pin;
}

}  // namespace drover::agent
