// SPDX-License-Identifier: Apache-2.0
// PUT /v1/jobs/parse: a job file's text -> the job as JSON. Apart because it is the only route that needs
// jobspec.
#pragma once
#include "api/exchange.h"

namespace drover::api {

void parse_job(const ExchangePtr& exchange);

}  // namespace drover::api
