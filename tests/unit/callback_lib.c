/* A library with one function, whose frame has ROOM bytes. */
int call_back(void (*function)(void *), void *argument);

int call_back(void (*function)(void *), void *argument)
{
    volatile char room[ROOM];
    room[0] = 1;
    function(argument);
    return room[0];
}
