// Command maitred takes restaurant reservations: a durable book for many restaurants in one binary.
//
//	maitred serve --demo      500 restaurants of Rome on http://127.0.0.1:8080
//	maitred serve             an empty house
//	maitred token             access tokens for tests and load generators
//	maitred inspect           the journal as text
//	maitred journal …         verify, salvage, copy, adopt
//	maitred store …           rebuild, copy: the read model anew, or from one kind of store to the other
//	maitred sink …            status, resume, skip, forward: the followers of the journal
//	maitred cluster …         init, status, drain, rebalance: several nodes as one
//	maitred backup, restore   journal, bases, store and keys in one file, and a node or a cluster from it
//	maitred keys …            list, rotate: what signs access tokens
//	maitred user create       an account, also an admin's, on a stopped data directory
//	maitred audit             who did what, from where and when
package main

import (
	"fmt"
	"os"
	"runtime/debug"

	"github.com/alecthomas/kong"
)

type cli struct {
	Serve   ServeCmd   `cmd:"" help:"Take reservations."`
	Token   TokenCmd   `cmd:"" help:"Print access tokens signed with the key of a data directory."`
	Inspect InspectCmd `cmd:"" help:"Print the journal as text."`
	Journal JournalCmd `cmd:"" help:"Verify, salvage, copy or adopt a journal."`
	Store   StoreCmd   `cmd:"" help:"The read model."`
	Sink    SinkCmd    `cmd:"" help:"The followers of the journal."`
	Backup  BackupCmd  `cmd:"" help:"Journal, bases, store and keys as of one record in one file, also beside a running node."`
	Restore RestoreCmd `cmd:"" help:"A new node or a new cluster from a backup."`
	Cluster ClusterCmd `cmd:"" help:"Several nodes as one: secrets, status, drain, rebalance."`
	Keys    KeysCmd    `cmd:"" help:"List or rotate the keys that sign access tokens."`
	User    UserCmd    `cmd:"" help:"Accounts of a stopped data directory."`
	Audit   AuditCmd   `cmd:"" help:"Who did what, from where and when."`
	Version VersionCmd `cmd:"" help:"Print the version."`
}

func main() {
	var c cli
	ctx := kong.Parse(&c, kong.Name("maitred"), kong.Description("A restaurant reservation core."),
		kong.DefaultEnvars("MAITRED"), kong.Configuration(kong.JSON), kong.UsageOnError())
	if err := ctx.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "maitred: "+err.Error())
		os.Exit(1)
	}
}

// VersionCmd prints what was built.
type VersionCmd struct{}

// Run implements the command.
func (VersionCmd) Run() error {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return fmt.Errorf("no build information in this binary")
	}
	fmt.Println("maitred", info.Main.Version, info.GoVersion)
	return nil
}
