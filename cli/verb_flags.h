// SPDX-License-Identifier: Apache-2.0
// Flags that several rows of the verb table share, and the parts of the table that stand in files of their
// own.
#pragma once
#include <initializer_list>
#include <vector>

#include "cli/command.h"

namespace drover::cli {

inline constexpr FlagKind kBool = FlagKind::Bool;
inline constexpr FlagKind kText = FlagKind::Text;
inline constexpr FlagKind kInt = FlagKind::Int;
inline constexpr FlagKind kDuration = FlagKind::Duration;

inline const Flag kVerbose{"verbose", kBool, "Full ids and more details."};
inline const Flag kDetach{"detach", kBool,
                          "Return at once instead of following the evaluation; its id is printed."};
inline const Flag kJson{"json", kBool, "Print what the API answers, as JSON."};
inline const Flag kTemplate{"t", kText, "Print what the API answers through a template in Go's notation."};
inline const Flag kYes{"yes", kBool, "Answer every question with yes."};
inline const Flag kUi{"ui", kBool, "Accepted for compatibility; no browser is opened."};
inline const Flag kTask{"task", kText,
                        "The task that is meant. Not needed when the allocation has only one."};
inline const Flag kGroup{"group", kText, "With -job: only allocations of this task group."};
inline const Flag kPerPage{"per-page", kInt, "How many entries a page has."};
inline const Flag kPageToken{"page-token", kText, "Where the page starts: what the last page has printed."};
inline const Flag kFilter{"filter", kText, "An expression that the entries must satisfy."};
inline const Flag kSelf{"self", kBool, "The node of the agent that is asked."};

inline std::vector<Flag> with(std::vector<Flag> flags, std::initializer_list<Flag> more) {
    flags.insert(flags.end(), more);
    return flags;
}

void add_job_file_verbs(std::vector<Command>& all);
void add_job_verbs(std::vector<Command>& all);

}  // namespace drover::cli
