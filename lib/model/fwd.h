// SPDX-License-Identifier: Apache-2.0
// The model's messages by name, for headers: the generated ones are heavy and belong into .cpp files.
#pragma once

namespace google::protobuf {
class Message;
}

namespace drover::model {
class AllocatedResources;
class AllocatedSharedResources;
class AllocatedTaskResources;
class Allocation;
class AllocationListStub;
class Constraint;
class Evaluation;
class Job;
class JobDiff;
class JobListStub;
class JobSummary;
class MapValue;
class ListValue;
class NetworkResource;
class Node;
class NodeListStub;
class PlanAnnotations;
class Port;
class PortMapping;
class Resources;
class Task;
class TaskGroup;
class TaskState;
class Value;
}  // namespace drover::model
