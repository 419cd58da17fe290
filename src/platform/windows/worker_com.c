/* SPDX-License-Identifier: MIT */
/*
 * The worker's apartment.
 *
 * Model: the serving thread is a single-threaded apartment, so that calls come as messages to its
 * loop, one at a time, on the thread that called bh_worker_main(). The process's security is set
 * here, where it is ours to set; the library never does so in a dispatcher.
 *
 * Invariants: only the user that the worker runs as, and the system itself, may call in. COM does
 * not catch exceptions of the methods, where it can be told so: a fault must end the process.
 */
#include "support.h"
#include "worker_end.h"

#include "core/alloc.h"
#include "core/problem.h"

#include <aclapi.h>

/* Of <objidl.h> and <iaccess.h>; written down so that no library of constants is needed. */
static const GUID class_global_options = {
    0x0000034B, 0x0000, 0x0000, {0xC0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x46}};
static const GUID interface_global_options = {
    0x0000015B, 0x0000, 0x0000, {0xC0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x46}};

/* COM_RIGHTS_EXECUTE | COM_RIGHTS_EXECUTE_LOCAL */
#define MAY_CALL 3u

/* Wine takes the option and ignores it. */
static void let_faults_through(void)
{
    IGlobalOptions *options = NULL;

    if (FAILED(CoCreateInstance(&class_global_options, NULL, CLSCTX_INPROC_SERVER,
                                &interface_global_options, (void **)&options)))
        return;
    IGlobalOptions_Set(options, COMGLB_EXCEPTION_HANDLING, COMGLB_EXCEPTION_DONOT_HANDLE_ANY);
    IGlobalOptions_Release(options);
}

/* What the process's token says about it; to be freed with bhi_free(). */
static void *ask_token(HANDLE token, TOKEN_INFORMATION_CLASS what)
{
    DWORD size = 0;
    void *answer;

    GetTokenInformation(token, what, NULL, 0, &size);
    answer = size == 0 ? NULL : bhi_alloc(size);
    if (answer != NULL && !GetTokenInformation(token, what, answer, size, &size)) {
        bhi_free(answer);
        answer = NULL;
    }
    return answer;
}

static ACL *make_list(PSID user)
{
    BYTE system_bytes[SECURITY_MAX_SID_SIZE];
    PSID system = system_bytes;
    DWORD system_size = sizeof system_bytes;
    DWORD size = sizeof(ACL) + 2 * (DWORD)sizeof(ACCESS_ALLOWED_ACE) + GetLengthSid(user) +
                 (DWORD)sizeof system_bytes;
    ACL *list = bhi_alloc(size);

    if (list == NULL)
        return NULL;
    if (CreateWellKnownSid(WinLocalSystemSid, NULL, system, &system_size) &&
        InitializeAcl(list, size, ACL_REVISION) &&
        AddAccessAllowedAce(list, ACL_REVISION, MAY_CALL, user) &&
        AddAccessAllowedAce(list, ACL_REVISION, MAY_CALL, system))
        return list;
    bhi_free(list);
    return NULL;
}

/* Calls CoInitializeSecurity() for this user alone. A library may have been there first, in its
 * DllMain: then its word holds. */
static HRESULT secure(const TOKEN_USER *user, const TOKEN_PRIMARY_GROUP *group, ACL *list)
{
    SECURITY_DESCRIPTOR descriptor;

    if (!InitializeSecurityDescriptor(&descriptor, SECURITY_DESCRIPTOR_REVISION) ||
        !SetSecurityDescriptorOwner(&descriptor, user->User.Sid, FALSE) ||
        !SetSecurityDescriptorGroup(&descriptor, group->PrimaryGroup, FALSE) ||
        !SetSecurityDescriptorDacl(&descriptor, TRUE, list, FALSE))
        return HRESULT_FROM_WIN32(GetLastError());
    return CoInitializeSecurity(&descriptor, -1, NULL, NULL, RPC_C_AUTHN_LEVEL_DEFAULT,
                                RPC_C_IMP_LEVEL_IDENTIFY, NULL, EOAC_NONE, NULL);
}

static HRESULT secure_for_user(void)
{
    HANDLE token = NULL;
    TOKEN_USER *user = NULL;
    TOKEN_PRIMARY_GROUP *group = NULL;
    ACL *list = NULL;
    HRESULT result = E_OUTOFMEMORY;

    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token))
        return HRESULT_FROM_WIN32(GetLastError());
    user = ask_token(token, TokenUser);
    group = ask_token(token, TokenPrimaryGroup);
    if (user != NULL && group != NULL)
        list = make_list(user->User.Sid);
    if (list != NULL)
        result = secure(user, group, list);
    bhi_free(list);
    bhi_free(group);
    bhi_free(user);
    CloseHandle(token);
    return result;
}

static int refuse(struct bh_problem *problem, const char *what, HRESULT result)
{
    char text[160];

    return bhi_problem_set(problem, BH_E_SYSTEM, (int)result, "%s: %s", what,
                           bhw_error_text((DWORD)result, text, sizeof text));
}

int bhw_worker_com_open(struct bh_problem *problem)
{
    HRESULT result = CoInitializeEx(NULL, COINIT_APARTMENTTHREADED | COINIT_DISABLE_OLE1DDE);

    if (FAILED(result))
        return refuse(problem, "CoInitializeEx", result);
    let_faults_through();
    result = secure_for_user();
    if (FAILED(result) && result != RPC_E_TOO_LATE)
        return refuse(problem, "CoInitializeSecurity", result);
    return BH_OK;
}
