package admin

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strings"
)

// holder says who has a lock on a file, as far as the system tells.
func holder(path string) string {
	pid := lockOwner(path)
	if pid == "" {
		return "another process"
	}
	cmdline, err := os.ReadFile("/proc/" + pid + "/cmdline")
	if err != nil || len(cmdline) == 0 {
		return "process " + pid
	}
	command := bytes.ReplaceAll(bytes.TrimRight(cmdline, "\x00"), []byte{0}, []byte{' '})
	return fmt.Sprintf("process %s (%s)", pid, command)
}

// lockOwner looks a file up in Linux's list of locks, see proc_locks(5). It
// returns "" where there is no such list.
func lockOwner(path string) string {
	inode, ok := inodeOf(path)
	if !ok {
		return ""
	}
	f, err := os.Open("/proc/locks")
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		// 1: FLOCK  ADVISORY  WRITE 1234 08:01:123456 0 EOF
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || fields[1] == "->" {
			continue
		}
		if strings.HasSuffix(fields[5], fmt.Sprintf(":%d", inode)) && fields[4] != "0" && fields[4] != "-1" {
			return fields[4]
		}
	}
	return ""
}
