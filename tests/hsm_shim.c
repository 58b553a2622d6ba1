/* A PKCS#11 module for tests: hands every call to the real module REAL and misbehaves as the file
 * $HSM_SHIM/control says at that moment, a word or "word=number" a line:
 *   sign-delay-ms=N   C_Sign takes that long           sign-error=N   C_Sign returns N
 *   sign-wrong        C_Sign gives a false signature   sign-crash     C_Sign ends the process
 *   removed           no token in any slot, and calls on sessions say so
 *   final-try         one wrong PIN more locks         locked         the PIN is locked
 *   sha256            only CKM_ECDSA_SHA256 is there
 *   private-point     no public objects; the private one tells its point, not wrapped in DER
 * Calls of C_Login and C_Sign are written to $HSM_SHIM/calls. */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long ulong_t;
typedef unsigned char byte_t;
typedef struct { ulong_t type; void *value; ulong_t length; } attribute_t;
typedef struct { ulong_t type; void *parameter; ulong_t length; } mechanism_t;
typedef struct { byte_t version[2]; void *functions[68]; } list_t;

/* Positions in CK_FUNCTION_LIST (PKCS #11 2.40). */
enum { GET_FUNCTION_LIST = 3, GET_SLOT_LIST = 4, GET_TOKEN_INFO = 6, GET_MECHANISM_INFO = 8, OPEN_SESSION = 12, CLOSE_SESSION = 13,
       GET_SESSION_INFO = 15, LOGIN = 18, GET_ATTRIBUTE = 24, FIND_INIT = 26, FIND = 27, FIND_FINAL = 28, DIGEST_INIT = 37, DIGEST = 38,
       SIGN_INIT = 42, SIGN = 43 };
enum { CKM_SHA256 = 0x250, CKM_ECDSA = 0x1041, CKM_ECDSA_SHA256 = 0x1044, CKA_CLASS = 0, CKA_EC_POINT = 0x181,
       CKO_PUBLIC_KEY = 2, CKR_DEVICE_REMOVED = 0x32, CKR_MECHANISM_INVALID = 0x70 };
#define CKF_USER_PIN_FINAL_TRY 0x20000UL
#define CKF_USER_PIN_LOCKED 0x40000UL
#define TOKEN_FLAGS_OFFSET 96 /* label 32, manufacturer 32, model 16, serial 16 */

static list_t *real, shim;
static int hashes, hides;

#define CALL(n, types, ...) (((ulong_t(*) types)real->functions[n])(__VA_ARGS__))

static char *beside(const char *name) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", getenv("HSM_SHIM"), name);
    return path;
}

/* The number of a word in the control file, 1 if it has none, -1 if it is not there. */
static long told(const char *word) {
    char line[128];
    long found = -1;
    FILE *control = fopen(beside("control"), "r");
    while (control && fgets(line, sizeof line, control)) {
        char *number = strchr(line, '=');
        line[strcspn(line, "=\n")] = 0;
        if (!strcmp(line, word)) found = number ? strtol(number + 1, NULL, 0) : 1;
    }
    if (control) fclose(control);
    return found;
}

static void note(const char *call) {
    int file = open(beside("calls"), O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (write(file, call, strlen(call)) < 0) abort();
    close(file);
}

static ulong_t get_slot_list(byte_t present, ulong_t *slots, ulong_t *count) {
    if (told("removed") > 0) { *count = 0; return 0; }
    return CALL(GET_SLOT_LIST, (byte_t, ulong_t *, ulong_t *), present, slots, count);
}

static ulong_t get_token_info(ulong_t slot, byte_t *info) {
    ulong_t code = CALL(GET_TOKEN_INFO, (ulong_t, byte_t *), slot, info);
    ulong_t flags = told("locked") > 0 ? CKF_USER_PIN_LOCKED : told("final-try") > 0 ? CKF_USER_PIN_FINAL_TRY : 0;
    if (!code) *(ulong_t *)(info + TOKEN_FLAGS_OFFSET) |= flags;
    return code;
}

static ulong_t get_mechanism_info(ulong_t slot, ulong_t type, ulong_t *info) {
    if (told("sha256") > 0) {
        if (type == CKM_ECDSA) return CKR_MECHANISM_INVALID;
        if (type == CKM_ECDSA_SHA256) type = CKM_ECDSA;
    }
    return CALL(GET_MECHANISM_INFO, (ulong_t, ulong_t, ulong_t *), slot, type, info);
}

static ulong_t login(ulong_t session, ulong_t user, byte_t *pin, ulong_t length) {
    note("C_Login\n");
    return CALL(LOGIN, (ulong_t, ulong_t, byte_t *, ulong_t), session, user, pin, length);
}

static ulong_t find_init(ulong_t session, attribute_t *template, ulong_t count) {
    hides = 0;
    for (ulong_t i = 0; i < count; i++)
        if (template[i].type == CKA_CLASS && *(ulong_t *)template[i].value == CKO_PUBLIC_KEY)
            hides = told("private-point") > 0;
    return CALL(FIND_INIT, (ulong_t, attribute_t *, ulong_t), session, template, count);
}

static ulong_t find(ulong_t session, ulong_t *objects, ulong_t most, ulong_t *count) {
    ulong_t code = CALL(FIND, (ulong_t, ulong_t *, ulong_t, ulong_t *), session, objects, most, count);
    if (hides) *count = 0;
    return code;
}

static ulong_t get_attribute(ulong_t session, ulong_t object, attribute_t *template, ulong_t count) {
    byte_t wrapped[67];
    ulong_t class = CKO_PUBLIC_KEY, public_key, found = 0;
    attribute_t wanted = {CKA_CLASS, &class, sizeof class}, point = {CKA_EC_POINT, wrapped, sizeof wrapped};
    if (count != 1 || template->type != CKA_EC_POINT || told("private-point") < 0)
        return CALL(GET_ATTRIBUTE, (ulong_t, ulong_t, attribute_t *, ulong_t), session, object, template, count);
    CALL(FIND_INIT, (ulong_t, attribute_t *, ulong_t), session, &wanted, 1);
    CALL(FIND, (ulong_t, ulong_t *, ulong_t, ulong_t *), session, &public_key, 1, &found);
    CALL(FIND_FINAL, (ulong_t), session);
    if (found != 1) abort();
    CALL(GET_ATTRIBUTE, (ulong_t, ulong_t, attribute_t *, ulong_t), session, public_key, &point, 1);
    if (template->value) memcpy(template->value, wrapped + 2, 65);
    template->length = 65;
    return 0;
}

static ulong_t sign_init(ulong_t session, mechanism_t *mechanism, ulong_t key) {
    mechanism_t plain = {CKM_ECDSA, NULL, 0};
    hashes = mechanism->type == CKM_ECDSA_SHA256;
    if (hashes != (told("sha256") > 0)) return CKR_MECHANISM_INVALID;
    return CALL(SIGN_INIT, (ulong_t, mechanism_t *, ulong_t), session, &plain, key);
}

/* SHA-256 by the real module, in a session of its own: the caller's is busy with the signature. */
static void hash(ulong_t session, byte_t *data, ulong_t length, byte_t digest[32]) {
    struct { ulong_t slot, state, flags, error; } info;
    ulong_t other, size = 32;
    mechanism_t sha256 = {CKM_SHA256, NULL, 0};
    CALL(GET_SESSION_INFO, (ulong_t, void *), session, &info);
    CALL(OPEN_SESSION, (ulong_t, ulong_t, void *, void *, ulong_t *), info.slot, 4, NULL, NULL, &other);
    CALL(DIGEST_INIT, (ulong_t, mechanism_t *), other, &sha256);
    if (CALL(DIGEST, (ulong_t, byte_t *, ulong_t, byte_t *, ulong_t *), other, data, length, digest, &size)) abort();
    CALL(CLOSE_SESSION, (ulong_t), other);
}

static ulong_t sign(ulong_t session, byte_t *data, ulong_t length, byte_t *signature, ulong_t *size) {
    byte_t digest[32];
    ulong_t code;
    if (!signature) return CALL(SIGN, (ulong_t, byte_t *, ulong_t, byte_t *, ulong_t *), session, data, length, NULL, size);
    note("C_Sign\n");
    if (told("sign-crash") > 0) raise(SIGSEGV);
    if (told("removed") > 0) return CKR_DEVICE_REMOVED;
    if (told("sign-error") > 0) return told("sign-error");
    if (told("sign-delay-ms") > 0) usleep(1000 * told("sign-delay-ms"));
    if (hashes) { hash(session, data, length, digest); data = digest; length = 32; }
    code = CALL(SIGN, (ulong_t, byte_t *, ulong_t, byte_t *, ulong_t *), session, data, length, signature, size);
    if (told("sign-wrong") > 0) signature[7] ^= 1;
    return code;
}

ulong_t C_GetFunctionList(list_t **list) {
    if (!real) {
        void *library = dlopen(REAL, RTLD_NOW);
        ((ulong_t(*)(list_t **))dlsym(library, "C_GetFunctionList"))(&real);
        shim = *real;
        shim.functions[GET_FUNCTION_LIST] = C_GetFunctionList;
        shim.functions[GET_SLOT_LIST] = get_slot_list;
        shim.functions[GET_TOKEN_INFO] = get_token_info;
        shim.functions[GET_MECHANISM_INFO] = get_mechanism_info;
        shim.functions[LOGIN] = login;
        shim.functions[GET_ATTRIBUTE] = get_attribute;
        shim.functions[FIND_INIT] = find_init;
        shim.functions[FIND] = find;
        shim.functions[SIGN_INIT] = sign_init;
        shim.functions[SIGN] = sign;
    }
    *list = &shim;
    return 0;
}
