/* SPDX-License-Identifier: MIT */
/*
 * Which HRESULTs say that the worker, or the way to it, is gone.
 *
 * Model: the object answers S_OK or DISP_E_EXCEPTION, in band, and a handful of refusals that are
 * its own. Everything else was said by COM. Windows has each number of its RPC runtime in two
 * forms, bare and wrapped as an HRESULT; both occur.
 *
 * Invariant: a number that a handler failed with never comes here: it is in the EXCEPINFO.
 */
#include "lane.h"

#include <rpc.h>

/* Numbers of the RPC runtime. */
static bool is_rpc(DWORD number)
{
    switch (number) {
    case RPC_S_SERVER_UNAVAILABLE:
    case RPC_S_SERVER_TOO_BUSY:
    case RPC_S_CALL_FAILED:
    case RPC_S_CALL_FAILED_DNE:
    case RPC_S_CALL_CANCELLED:
    case RPC_S_COMM_FAILURE:
    case RPC_S_UNKNOWN_IF:
        return true;
    default:
        return false;
    }
}

/** See lane.h. */
bool bhw_lane_is_transport(HRESULT result)
{
    switch (result) {
    case RPC_E_SERVERFAULT:
    case RPC_E_DISCONNECTED:
    case RPC_E_SERVER_DIED:
    case RPC_E_SERVER_DIED_DNE:
    case RPC_E_CONNECTION_TERMINATED:
    case RPC_E_CALL_REJECTED:
    case RPC_E_CALL_CANCELED:
    case RPC_E_CANTTRANSMIT_CALL:
    case RPC_E_CLIENT_DIED:
    case RPC_E_SYS_CALL_FAILED:
    case RPC_E_FAULT:
    case CO_E_OBJNOTCONNECTED:
    case CO_E_OBJNOTREG:
    case CO_E_OBJSRV_RPC_FAILURE:
        return true;
    default:
        break;
    }
    if ((DWORD)result >> 16 == 0 && result > 0)
        return is_rpc((DWORD)result);
    return HRESULT_FACILITY(result) == FACILITY_WIN32 && FAILED(result) &&
           is_rpc((DWORD)HRESULT_CODE(result));
}
