// Whose series a request brings: /insert/<tenant>/… or the header X-Scope-OrgID.
#pragma once

#include "base/result.h"
#include "model/tenant.h"
#include "net/http.h"

namespace mi::receive {

// kInvalid: no tenant, or path and header name different ones; the answer is 400.
Result<model::Tenant> TenantOf(const net::Request& request);

}  // namespace mi::receive
