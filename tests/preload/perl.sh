# Perl: hashes, patterns, sorting, child processes, and interpreter threads where it has them.
. "$(dirname "$0")/common.sh"
need perl

cat >program.pl <<'END'
use strict;
use warnings;
use Config;

sub work {
    my ($seed) = @_;
    my (%count, @lines);
    for my $i (1 .. 20000) {
        my $line = join ' ', map { ($i * $_ + $seed) % 1009 } 1 .. 6;
        $line =~ s/(\d)(\d)/$2-$1/g;
        $count{$_}++ for split / /, $line;
        $lines[$i % 3000] = $line x ($i % 5);
    }
    my $sum = 0;
    $sum = ($sum * 31 + $count{$_} + length) % 1000000007 for sort keys %count;
    return $sum . ' ' . length(join '', sort grep { defined } @lines);
}

print work(1), "\n";
for my $seed (2 .. 4) {
    my $child = open(my $pipe, '-|') // die "fork: $!";
    if (!$child) {
        print work($seed);
        exit 0;
    }
    print <$pipe>, "\n";
    close $pipe or die "child $seed: $?";
}
if ($Config{useithreads}) {
    require threads;
    print $_->join, "\n" for map { my $seed = $_; threads->create(sub { work($seed) }) } 5 .. 7;
}
END

export PERL_HASH_SEED=0
same_output perl perl program.pl
passed
