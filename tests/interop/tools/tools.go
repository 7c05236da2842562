// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package tools names the programs that the build of these tests runs, so that go.mod pins their versions.
package tools

import (
	_ "google.golang.org/grpc/cmd/protoc-gen-go-grpc"
	_ "google.golang.org/protobuf/cmd/protoc-gen-go"
)
