// The one function of bcryptprimitives.dll that Rust's standard library calls, for a wine that lacks the library.
#include <windows.h>

// RtlGenRandom by its exported name.
BOOLEAN NTAPI SystemFunction036(PVOID buffer, ULONG length);

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE buffer, SIZE_T length) {
  return SystemFunction036(buffer, (ULONG)length);
}
