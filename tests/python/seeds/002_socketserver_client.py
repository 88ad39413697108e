from socket import *


def main():
    clisocket = socket(AF_INET, SOCK_STREAM)
    clisocket.connect(('10.115.28.33', 8899))
    clisocket.settimeout(5)

    while True:
        data = clisocket.recv(1024)
        print(data.decode(encoding='utf-8'))
        msg = input('>>>')
        if not msg:
            break
        clisocket.send(msg.encode(encoding='utf-8'))
        if msg == 'exit':
            break
    clisocket.close()


if __name__ == '__main__':
    main()
