import socket
ip_port=("127.0.0.1",8000)
buffer_size=1024
udp_server=socket.socket(socket.AF_INET,socket.SOCK_DGRAM) #数据报
udp_server.bind(ip_port)
while True: #通信循环
    data,addr=udp_server.recvfrom(buffer_size)
    print(data.decode("utf-8"),addr)
    msg=input(">>:")
    udp_server.sendto(msg.encode("utf-8"),addr)
    udp_server.sendto(data.upper(),addr)
udp_serve.close()
