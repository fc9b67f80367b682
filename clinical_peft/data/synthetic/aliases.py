"""Names under which patients are known in a hospital whose notes are copied forward.

Common words of general English: a tokenizer learned on such text keeps most of them whole, so that one token tells one
admission from another. No phrase of the notes uses them.
"""

_WORDS = """
about absolute abstract accept accepted accepts access accessed according action actual actually addition additional
address adds affect algorithm allow allowed allows always anchor angle annotations another anything appear application
applied arbitrary archive argument arguments around article assert assign assigned assumed attribute attributes audio
available background based basic because been begin beginning behavior being best better between binary bind binding
bits blank blocks body both bound break breakpoint breakpoints browser buffer buffered build built button byte bytes
cache callback caller calling calls cancelled cannot canvas case cases cause certain channel character characters
checked chunk chunks classes clause click client color column comma command comments compare comparing compile compiled
compiler complex component compressed concrete connect connection considered constant construct constructor contain
contained container containing contains content contents context control controls conversion convert converted cookie
cookies coordinate coordinates copied copy correct could count counter create created creates creating creation
currently cursor custom data database debugger debugging decimal decode decoded decorator default defaults define
defined defines defining definition delete deleted depend depending depends deprecated derived described description
descriptor descriptors desired destination detail details determine determined dialog dictionary difference different
digits direct direction directly directories directory disk display displayed document does doesn domain double draw
drawing during each edit either element elements else email encoded encoding entire entries environment equivalent error
errors even events ever every exact exactly example examples except exception exceptions executable execute executed
execution exist existing exists exit explicitly expression expressions extensions extra fact factory fail fails false
feature field fields file files fill final find flag float floating focus font form formal format formats formatted
formatter formatting frame frames full function functions future generate generated generator generic gives giving glob
global globals grammar graph grid group guaranteed hand handle handled handler handlers handles handling hash header
headers heap height help helper hierarchy highlight hold icon identified identifiers idle ignore ignored image
immediately immutable implement implemented implements import imported include included includes including indent index
indicate indicates indicating indices info information inherit initial initialized input inputs insert inside install
instance instances instead integer integers intended interface internal interpreted interpreter into invalid invoked
item items itself join just keyed keys keyword keywords know label language leading least length less library linear
link listed lists literal literals loaded loader local locale location lock logger logging look loop mail mailbox make
makes manager many mapping mappings mark master match matches matching maximum meaning means member members memory menu
message messages method methods might missing mode modify module modules more most mouse move much must mutable named
names nearest necessary need needs nested newline node nodes normally nothing number numbers object objects occur
occurred occurs offset omitted once operation operations operator option optional options order origin original output
overridden override package page pair pairs paragraph parameter parameters parent parse parsed parser parsing particular
pass password paths patterns perform pick pixel platform plus points policy polygon positional possible possibly prefix
previous print priority processed processes processing program proper properties property provide provided provides
providing proxy public query queue quoted raise raises random range rather read readable reading reason record records
refer reference references register registered registry relative release remove replace replaced report reported
represent represents request requests require requires reset resource resources respect result resulting retrieved
returned returning returns root rules running runtime safe sample scheme script search searched second seconds section
select selected selection self semantics send separate separator sequence sequences server sets setting shape shared
shell should show signal signature similar simple simply slice socket sort sorted space spaces spec special specific
specified specifies specify specifying split stack start starting starts state statement statements static stop store
stored stream string strings structure style subclasses subset success successful such suffix suitable supplied
supported supports sure symbol syntax system table tables tabs takes target task tasks tell temporary testing tests text
than their them theme there these they those thread threads through timed timeout times title together token tool
tooltip total traceback trailing transport tree triple true turn turtle types typically typing unchanged under
underlying undo unique unless update usage used useful user valid value values variable variables various version
versions very virtual wait waiting want warning watcher what wheel when where whether which while whitespace whose
widget widgets width will word words working works would wrapped wrapper wrapping write writing written yield yields
zero
"""

ALIASES = tuple(_WORDS.split())
