/* A PKCS#11 module for tests: forwards to the module in SLOWTOKEN_MODULE, and does what the file in SLOWTOKEN_CONTROL says:
 *   a number   C_Sign sleeps that many milliseconds, or until it is told something else
 *   out        slots are empty, calls with a session answer CKR_DEVICE_REMOVED
 *   fail       C_Sign answers CKR_GENERAL_ERROR
 *   locked     the user's PIN is locked        last   one try of it is left
 * C_Login and C_Sign calls are counted in SLOWTOKEN_CONTROL.logins and .signs, one byte each. */
#include <dlfcn.h>
#include <fcntl.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLICE 20000 /* microseconds between two looks at the control file */

static CK_FUNCTION_LIST ours;
static CK_FUNCTION_LIST *real;

static void control(char *word, size_t room)
{
	const char *path = getenv("SLOWTOKEN_CONTROL");
	int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	ssize_t got = file < 0 ? 0 : read(file, word, room - 1);
	if (file >= 0)
		close(file);
	word[got > 0 ? got : 0] = 0;
	word[strcspn(word, "\n")] = 0;
}

static int told(const char *wanted)
{
	char word[32];
	control(word, sizeof word);
	return strcmp(word, wanted) == 0;
}

static void count(const char *what)
{
	char path[4096];
	int file;
	snprintf(path, sizeof path, "%s.%s", getenv("SLOWTOKEN_CONTROL"), what);
	file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (file >= 0) {
		if (write(file, "x", 1) != 1)
			abort();
		close(file);
	}
}

static CK_RV sign(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG length, CK_BYTE_PTR out, CK_ULONG_PTR room)
{
	char word[32];
	long left;
	CK_RV rv = real->C_Sign(session, data, length, out, room);
	count("signs");
	control(word, sizeof word);
	if (strcmp(word, "out") == 0)
		return CKR_DEVICE_REMOVED;
	if (strcmp(word, "fail") == 0)
		return CKR_GENERAL_ERROR;
	for (left = atoi(word) * 1000L; left > 0 && told(word); left -= SLICE)
		usleep(left < SLICE ? (useconds_t)left : SLICE);
	return rv;
}

static CK_RV sign_init(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key)
{
	return told("out") ? CKR_DEVICE_REMOVED : real->C_SignInit(session, mechanism, key);
}

static CK_RV slot_info(CK_SLOT_ID slot, CK_SLOT_INFO_PTR info)
{
	CK_RV rv = real->C_GetSlotInfo(slot, info);
	if (!rv && told("out"))
		info->flags &= ~(CK_FLAGS)CKF_TOKEN_PRESENT;
	return rv;
}

static CK_RV token_info(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info)
{
	CK_RV rv = told("out") ? CKR_TOKEN_NOT_PRESENT : real->C_GetTokenInfo(slot, info);
	if (!rv && told("locked"))
		info->flags |= CKF_USER_PIN_LOCKED;
	if (!rv && told("last"))
		info->flags |= CKF_USER_PIN_FINAL_TRY;
	return rv;
}

static CK_RV slot_list(CK_BBOOL present, CK_SLOT_ID_PTR slots, CK_ULONG_PTR count)
{
	if (present && told("out")) {
		*count = 0;
		return CKR_OK;
	}
	return real->C_GetSlotList(present, slots, count);
}

static CK_RV login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_BYTE_PTR pin, CK_ULONG length)
{
	count("logins");
	return real->C_Login(session, user, pin, length);
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
	CK_C_GetFunctionList get;
	void *library = dlopen(getenv("SLOWTOKEN_MODULE"), RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return CKR_GENERAL_ERROR;
	get = (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList");
	if (!get || get(&real))
		return CKR_GENERAL_ERROR;
	ours = *real;
	ours.C_Sign = sign;
	ours.C_SignInit = sign_init;
	ours.C_GetSlotInfo = slot_info;
	ours.C_GetTokenInfo = token_info;
	ours.C_GetSlotList = slot_list;
	ours.C_Login = login;
	*list = &ours;
	return CKR_OK;
}
