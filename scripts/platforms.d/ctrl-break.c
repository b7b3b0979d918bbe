/* Runs a relay in a process group of its own, sends it Ctrl-Break as programs do that run others, and says how it ended:
 *   wine ctrl-break.exe signaling-relay.exe --listen 127.0.0.1:0
 * Rust's standard library can send no console events, and the tests have no unsafe code. */

#include <stdio.h>
#include <string.h>
#include <windows.h>

enum { END_MS = 20000 };

int main(int count, char **words) {
  char line[4096] = "";
  for (int at = 1; at < count; at++) {
    strncat(line, words[at], sizeof line - strlen(line) - 2);
    strcat(line, " ");
  }
  SECURITY_ATTRIBUTES inherited = {sizeof inherited, NULL, TRUE};
  HANDLE read, write;
  if (!CreatePipe(&read, &write, &inherited, 0)) return 3;
  SetHandleInformation(read, HANDLE_FLAG_INHERIT, 0);
  STARTUPINFOA start = {.cb = sizeof start, .dwFlags = STARTF_USESTDHANDLES};
  start.hStdInput = GetStdHandle(STD_INPUT_HANDLE);
  start.hStdOutput = write;
  start.hStdError = GetStdHandle(STD_ERROR_HANDLE);
  PROCESS_INFORMATION relay;
  if (!CreateProcessA(NULL, line, NULL, NULL, TRUE, CREATE_NEW_PROCESS_GROUP, NULL, NULL, &start, &relay)) return 4;
  CloseHandle(write);
  /* It is ready when its first screen ends. */
  char screen[8192] = "";
  DWORD got;
  while (!strstr(screen, "Ctrl-C ends it")) {
    size_t used = strlen(screen);
    if (used + 1 >= sizeof screen || !ReadFile(read, screen + used, sizeof screen - used - 1, &got, NULL) || !got) return 5;
    screen[used + got] = 0;
  }
  if (!GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, relay.dwProcessId)) return 6;
  if (WaitForSingleObject(relay.hProcess, END_MS) != WAIT_OBJECT_0) {
    TerminateProcess(relay.hProcess, 7);
    printf("the relay did not end\n");
    return 7;
  }
  DWORD code;
  GetExitCodeProcess(relay.hProcess, &code);
  printf("the relay ended with %lu\n", code);
  return (int)code;
}
