package aliasbridge

import (
	"fmt"
	"testing"

	"confab/xmpp/directory"
)

// What a message to an alias of 100 costs, from the sender's stanza to the out buffers of all who are online, the commit
// (without fsync) included.
func BenchmarkMessageToHundred(b *testing.B) {
	s := serve(b, Options{Rate: Rate{Burst: 1 << 30, PerSecond: 1 << 30}})
	users := make([]directory.NewUser, 100)
	members := make([]string, len(users))
	for i := range users {
		users[i] = directory.NewUser{Domain: "example.com", Local: fmt.Sprintf("m%d", i)}
		members[i] = users[i].Local
	}
	if err := s.bridge.dir.Add(b.Context(), users...); err != nil {
		b.Fatal(err)
	}
	s.alias("sales", nil, members...)
	for _, m := range members {
		s.online(m + "@example.com/x")
	}
	romeo := s.online("romeo@example.com/orchard")
	const message = "<message to='sales@example.com' type='chat' id='m'><body>the quote is out</body></message>"
	for b.Loop() {
		romeo.Sends(message)
	}
	b.ReportMetric(float64(len(members))*float64(b.N)/b.Elapsed().Seconds(), "copies/s")
}
